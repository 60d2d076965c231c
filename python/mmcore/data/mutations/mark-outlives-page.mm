machine movable_mark=sticky
movable m0 1
thread A
  release m0
