map r0 file 1
write r0
thread A
  begin_writeback r0
  end_writeback r0
thread B
  memory_failure r0
