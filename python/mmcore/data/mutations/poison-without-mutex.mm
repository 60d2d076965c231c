map r0 anon 1
write r0
drain
frame r0
thread A
  phys hard r0
thread B
  phys hard r0
