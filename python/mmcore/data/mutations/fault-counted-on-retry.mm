map r0 anon 1
thread A
  write r0
