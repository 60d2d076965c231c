map r0 file 1
thread A
  read r0
thread B
  truncate r0 0
