#![no_main]

outgate_fuzz::fuzz!(data_stream);
