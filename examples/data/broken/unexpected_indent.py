def greet(name):
    print("hello", name)
        print("and goodbye")
