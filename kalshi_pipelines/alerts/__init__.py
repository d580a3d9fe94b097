"""Messages to people: what they say, the outbox they wait in, and the channels they leave by.

An alert is put into the outbox (``outbox``) in the transaction of what it is about, and delivered later (``delivery``)
by whichever process comes first, so that neither a crash nor a second daemon loses or doubles it.
"""
