//! What happened in a pool, as a picture and as a trace. Owns the reading of events; they are made elsewhere.
