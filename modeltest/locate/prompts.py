"""The texts that both models are fed when the user gives none: prose, code, numbers, Chinese."""

TEXTS = (
    "The harbour was quiet that morning. Two boats had come in with the tide, and the men who had sailed "
    "them were asleep on the stones beside the wall. A boy walked past with a basket of bread, looked at the "
    "water, and went on without a word. Later, when the bells had rung, the market began, and by noon nobody "
    "could remember why the storm of the night before had seemed so terrible to the whole village.",
    "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n\n\nclass Counter:\n    def __init__(self, start=0):\n"
    "        self.count = start\n\n    def step(self):\n        self.count += 1\n"
    "        return self.count\n\n\nprint(mean([1.5, 2.5, 8.0]), Counter(3).step())\n",
    "Question: A train leaves at 14:35 and arrives at 17:10. It stops three times, for 4, 6 and 5 minutes. "
    "How long does it move? Answer: From 14:35 to 17:10 are 155 minutes. The stops take 4 + 6 + 5 = 15 "
    "minutes. So it moves for 155 - 15 = 140 minutes, which is 2 hours and 20 minutes. #### 140",
    "春天来了, 河边的树都绿了。老人每天早上在桥上散步, 看见孩子们上学。他说, 从前这里没有路, 只有一条小船, "
    "过河要等半个小时。现在大家骑车、坐公共汽车, 谁也不记得那条船了。",
)

TOKENS = 96
"""Of each text, unless told otherwise: behind several blocks of 16, and few enough for one pass on a cpu."""
