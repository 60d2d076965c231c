swapon 8
map r0 anon 1
write r0
madv r0 pageout
thread A
  madv r0 dontneed
thread B
  swapoff
