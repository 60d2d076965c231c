map r0 file 1
write r0
drain
thread A
  sync
thread B
  truncate r0 0
