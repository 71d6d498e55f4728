"""How a cell's pairs are run at one step of time. Every engine gives the numbers of the portable one."""
