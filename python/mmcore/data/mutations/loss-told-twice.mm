map r0 file 1
write r0
begin_writeback r0
fail driver_error
end_writeback r0
thread A
  msync r0
thread B
  msync r0
