machine nodes=1 pages=8 cpus=1
map r0 anon 1
map r1 anon 1
write r0
drain
frame r0
unmap r0
thread A
  phys soft r0
thread B
  write r1
