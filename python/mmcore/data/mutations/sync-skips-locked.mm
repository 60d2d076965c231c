map r0 file 1
write r0
thread A
  lock r0
  unlock r0
thread B
  sync
