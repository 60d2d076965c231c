map r0 tmpfs 2
thread A
  truncate r0 1
thread B
  truncate r0 0
