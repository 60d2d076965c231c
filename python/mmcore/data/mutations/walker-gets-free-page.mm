movable m0 1
thread A
  release m0
thread B
  isolate m0
