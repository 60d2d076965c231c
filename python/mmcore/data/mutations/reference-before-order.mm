map r0 anon 2 order=1
write r0
drain
frame r0
unmap r0
thread A
  allocate p0 order=1
  free p0
thread B
  look frame r0:0
