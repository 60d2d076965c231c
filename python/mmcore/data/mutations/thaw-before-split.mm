allocate p0 order=1
thread A
  split p0
thread B
  look frame p0
