swapon 1
map r0 anon 1
write r0
drain
thread A
  fail driver_error
  madv r0 pageout
thread B
  madv r0 pageout
