movable m0 1
thread A
  get m0
thread B
  get m0
