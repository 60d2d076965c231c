movable m0 1
thread A
  isolate m0
  putback m0
thread B
  try_get m0
