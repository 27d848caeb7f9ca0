LIMIT = 10
<<<<<<< HEAD
RETRIES = 3
=======
RETRIES = 5
>>>>>>> feature
