map r0 file 1
thread A
  fread r0
thread B
  look cache r0
