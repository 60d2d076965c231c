map r0 anon 1
map r1 anon 1 node=1
write r0
write r1
drain
frame r1
unmap r1
thread A
  move r0 node=1
thread B
  look frame r1
