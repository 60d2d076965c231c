map r0 anon 1
write r0
drain
get r0
thread A
  move r0 node=1
