"""placeholder"""

from mig.designs.thread import Thread


class RfcV1(Thread):
    """x"""

    name = "rfc_v1"
