swapon 8
map r0 anon 1
write r0
madv r0 pageout
thread A
  read r0
thread B
  madv r0 dontneed
  write r0
  madv r0 pageout
