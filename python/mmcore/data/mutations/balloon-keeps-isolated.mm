inflate 1
thread A
  isolate b0
  putback b0
thread B
  deflate 1
