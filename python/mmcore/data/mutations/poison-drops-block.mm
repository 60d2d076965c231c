machine nodes=1 pages=8 cpus=1
map r0 anon 1
write r0
frame r0
drain
unmap r0
thread A
  phys hard r0
thread B
  allocate p0 order=2
