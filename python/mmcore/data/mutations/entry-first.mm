map r0 anon 1
thread A
  write r0
thread B
  look entry r0
