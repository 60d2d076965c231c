swapon 1
map r0 anon 1
write r0
drain
madv r0 pageout
thread A
  fail driver_error
  read r0
thread B
  read r0
