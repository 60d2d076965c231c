map r0 file 1
thread A
  mlock r0
