map r0 anon 1
write r0
drain
fork c0
exit c0
get r0
thread A
  write r0
  put r0
thread B
  read r0
