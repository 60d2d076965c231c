inflate 1
thread A
  deflate 1
thread B
  deflate 1
