map r0 anon 1
write r0
fork c0
thread A
  fail copy_failure
  write r0
thread B
  read r0
