map r0 anon 1
write r0
fork c1
thread A
  move r0 node=1 all
  write r0
