map r0 anon 1
write r0
drain
thread A
  fail copy_failure times=2
  move r0 node=1
thread B
  read r0
