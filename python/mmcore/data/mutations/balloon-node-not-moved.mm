inflate 1
thread A
  isolate b0
  migrate b0 node=1
