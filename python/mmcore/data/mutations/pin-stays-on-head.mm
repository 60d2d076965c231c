map r0 anon 2 order=1
write r0
drain
frame r0
thread A
  phys hard r0:1
thread B
  unmap r0:1
