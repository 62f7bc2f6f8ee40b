#![no_main]

outgate_fuzz::fuzz!(reply);
