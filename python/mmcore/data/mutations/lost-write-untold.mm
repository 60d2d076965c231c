map r0 file 1
write r0
thread A
  fail driver_error
  msync r0
thread B
  read r0
