"""usercenter: owns the accounts of a company and tells, through Apache Kafka, what happened to them."""

__version__ = "0.1.0"
