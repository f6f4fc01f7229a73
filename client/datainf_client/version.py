"""The client's version; it is that of the service that it was made for."""

VERSION = "0.1.0"
