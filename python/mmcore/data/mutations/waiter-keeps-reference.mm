map r0 anon 1
write r0
drain
thread A
  move r0 node=1
thread B
  read r0
