map r0 anon 1
write r0
get r0
thread A
  move r0 node=1
thread B
  query r0
