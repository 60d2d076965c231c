machine memory=tso
map r0 anon 1
write r0
thread A
  move r0 node=1
thread B
  write r0
