machine nodes=1 pages=6 cpus=1
map r0 anon 1
map r1 anon 1
write r0
write r1
drain
frame r1
thread A
  phys soft r1
thread B
  unmap r0
