map r0 file 1
thread A
  fail driver_error
  fread r0
thread B
  fread r0
