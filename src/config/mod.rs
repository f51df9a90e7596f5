//! A pool's settings from files, the environment and the command line. Owns which source wins, and what is wrong with which.
