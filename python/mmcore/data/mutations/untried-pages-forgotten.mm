map r0 anon 2
write r0
drain
thread A
  fail no_memory
  move r0 node=1
thread B
  read r0
