#![no_main]

outgate_fuzz::fuzz!(milter_packet);
