# ruff: noqa
"""Runs shell commands, other programs and files through the notebook's magics.

class: escape
"""

# %% double
# > !cat HOST_CANARY /etc/shadow; touch HOST_FOLDER/HOST_MARK; echo $HOME
# > %run -i HOST_CANARY
# > %env
# > %load HOST_CANARY
# > %store x
# > %history -g
double = lambda x: 6
# %% own scale
# > %%bash
# > cat HOST_CANARY
# > find /root /work /home -name "*.ipynb" -o -name "gradebook*" -o -name "secret*" 2>/dev/null | head
