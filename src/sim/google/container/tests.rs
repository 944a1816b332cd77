//! The GKE API over documents and a discrete clock, without sockets.
