map r0 anon 1
write r0
thread A
  memory_failure r0
